"""Facts, written once, with the bytes that will be signed. What becomes of them is others' business."""
