"""The commands, a file each. They open what they need, say what they did, and end."""
