"""What the doors answer, as models. They describe: no answer is built from them. Tests hold real answers to them."""
