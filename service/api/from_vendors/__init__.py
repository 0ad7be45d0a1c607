"""What vendors call: callbacks, and links to audio. A token in the path is their key."""
