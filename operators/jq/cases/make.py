#!/usr/bin/env python3
"""Writes jq-1.8.jsonl: what jq itself answers to the filters of filters.tsv.

    python3 -m venv /tmp/jq && /tmp/jq/bin/pip install jq==1.13.0   # jq 1.8.2
    /tmp/jq/bin/python operators/jq/cases/make.py

A line of filters.tsv is an input and a filter, with a tab between. A line of what is written is the input, the filter, and
either the outputs as jq prints them, or `null` where jq rejects the input or the filter.
"""

import json
import pathlib

import jq

here = pathlib.Path(__file__).parent


def answers(filter, text):
    # In brackets and as text, so that it is jq that prints them.
    try:
        return jq.compile(f"({filter}\n) | tojson").input_text(text).all()
    except ValueError:
        return None


lines = [line.split("\t") for line in (here / "filters.tsv").read_text().splitlines()]
with open(here / "jq-1.8.jsonl", "w") as to:
    for text, filter in lines:
        case = {"input": text, "filter": filter, "outputs": answers(filter, text)}
        to.write(json.dumps(case, ensure_ascii=False) + "\n")
