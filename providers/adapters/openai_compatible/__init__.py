"""Providers that speak OpenAI's wires with a key: OpenAI, OpenRouter, DeepSeek, Kimi, GLM, vLLM and their like.

Only what their failures mean lives here so far (`errors.py`).
"""
