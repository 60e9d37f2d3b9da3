"""What every channel shares: the shape of a request, the words of an alert, and the one way to send, classify and redact."""
