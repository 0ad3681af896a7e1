"""What the commands print: values as text, and the forms that the output has."""
