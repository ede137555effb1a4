"""Training in bounded memory: blocks of rows, several passes, the same fitted scikit-learn objects in the end."""
