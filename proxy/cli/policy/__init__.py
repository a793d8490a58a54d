"""Commands about policies: `commands` says what each takes, a module each what it does."""
