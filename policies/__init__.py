"""Who may do what: the words, the language, the facts and the decision."""
