"""Personal data: recognised before the model, masked on the way in, restored on the way back."""
