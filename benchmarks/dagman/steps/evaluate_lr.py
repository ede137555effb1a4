"""Evaluate the model lr on the test rows."""

import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

test = pd.read_csv("test.csv")
features, target = test.drop(columns="loan_status"), test["loan_status"]
model = joblib.load("lr.joblib")
decided = model.predict(features)
metrics = {
    "accuracy": accuracy_score(target, decided),
    "precision": precision_score(target, decided),
    "recall": recall_score(target, decided),
    "f1": f1_score(target, decided),
    "roc_auc": roc_auc_score(target, model.predict_proba(features)[:, 1]),
}
Path("lr.json").write_text(json.dumps(metrics), encoding="utf-8")
