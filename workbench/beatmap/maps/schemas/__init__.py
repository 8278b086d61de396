"""The schemas of map files, one module a version.

A field is named as its key in the file, so that a schema reads as the file does. Every key may be
missing and is 0 or empty then, in all versions; a key that is not named here is passed over in
reading and stays in the file's document. Source: the schemas of bsmap 2.2.9.
"""
