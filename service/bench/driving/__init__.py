"""The means of measuring from outside: processes, versions, load, the vendor and the customer beside them."""
