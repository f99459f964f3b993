"""Protocols, evaluator, metrics, results store and the `bench` command."""
