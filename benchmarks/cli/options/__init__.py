"""What several verbs share: options, their layout in the help, settings of builders and models."""
