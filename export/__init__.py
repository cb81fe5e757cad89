"""Carries: a trained policy to PyTorch, ONNX and NumPy, with a certificate that they decide the same."""
