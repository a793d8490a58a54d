"""Commands about policies: what each takes stands in `commands`, what it does in a module of its own."""
