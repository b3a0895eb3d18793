"""One set of test vectors, and the engines that must agree on them."""
