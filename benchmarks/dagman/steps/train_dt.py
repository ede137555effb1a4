"""Train a decision tree."""

import joblib
import pandas as pd
from sklearn.tree import DecisionTreeClassifier

train = pd.read_csv("train.csv")
model = DecisionTreeClassifier(random_state=42)
model.fit(train.drop(columns="loan_status"), train["loan_status"])
joblib.dump(model, "dt.joblib")
