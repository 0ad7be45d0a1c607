"""The responses of the API as models. They only describe; tests compare real responses with them."""
