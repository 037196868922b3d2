"""Commands for people who set a box up or look after it; the service needs none of them."""
