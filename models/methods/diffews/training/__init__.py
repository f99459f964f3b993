"""What DiffewS learns from: losses as modules, without data, optimisers or loops."""
