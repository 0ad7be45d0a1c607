"""What every operation of the API has in common: how it is declared, enforced and described."""
