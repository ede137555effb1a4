"""Predict the test rows with the best model."""

import joblib
import pandas as pd

features = pd.read_csv("test.csv").drop(columns="loan_status")
model = joblib.load("best.joblib")
features["prediction"] = model.predict(features)
features["probability"] = model.predict_proba(features.drop(columns="prediction"))[:, 1]
features.to_csv("predictions.csv", index=False)
