"""The cellar: tools that know no word of this product. Everything above may use them."""
