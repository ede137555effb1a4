"""Split the processed rows 80/20."""

import pandas as pd
from sklearn.model_selection import train_test_split

rows = pd.read_csv("processed.csv")
train, test = train_test_split(rows, test_size=0.2, random_state=42, stratify=rows["loan_status"])
train.to_csv("train.csv", index=False)
test.to_csv("test.csv", index=False)
