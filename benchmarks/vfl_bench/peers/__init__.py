"""The other libraries on our pieces of work, each as its users would write it."""
