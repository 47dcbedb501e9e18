# Reads a file as a program would, and prints each name with the value's bytes in hexadecimal.
import sys

reader, path = sys.argv[1:3]
if reader == "json":
    import json

    with open(path, encoding="utf-8") as file:
        values = json.load(file)
elif reader == "yaml":
    import yaml

    with open(path, "rb") as file:
        values = yaml.safe_load(file) or {}
elif reader == "dotenv":
    from dotenv import dotenv_values

    values = dotenv_values(path, encoding="utf-8")
elif reader == "properties":
    from jproperties import Properties

    properties = Properties()
    with open(path, "rb") as file:
        properties.load(file, "iso-8859-1")
    values = {name: properties[name].data for name in properties}
for name, value in values.items():
    print(name, value.encode("utf-8").hex())
