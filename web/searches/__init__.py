"""The read side: which messages, which rejections, which way a message went. Parameterised SQL from fixed tables."""
