"""Pure functions that two codecs of one vendor need; codecs never import each other, so these live between them."""
