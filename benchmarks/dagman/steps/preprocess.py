"""Impute and encode the raw CSV: preprocess.py RAW."""

import sys

import pandas as pd

raw = pd.read_csv(sys.argv[1]).drop(columns="id")
numeric = raw.select_dtypes("number").columns
raw[numeric] = raw[numeric].fillna(raw[numeric].median())
pd.get_dummies(raw, dtype=int).to_csv("processed.csv", index=False)
