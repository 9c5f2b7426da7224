"""The data map: what each column holds, until when, who removes it, and how the person gets it."""
