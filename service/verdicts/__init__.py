"""Pure: how votes add up to one outcome, and the result a customer reads. No SQL, no clock."""
