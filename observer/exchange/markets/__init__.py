"""The markets themselves, without any protocol: prices that walk, books that move, windows that open and close."""
