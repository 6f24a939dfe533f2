# What may be done with content: blobs, artifacts, logs.
package symbi.authz

# METADATA
# title: The administrator uploads content
# schemas:
#   - input: schema["blob.write"]
allow contains "default/blob.write" if {
	input.action == "blob.write"
	input.principal.id == "admin"
}

# METADATA
# title: The administrator reads what tasks left
# schemas:
#   - input: schema["artifact.read"]
allow contains "default/artifact.read" if {
	input.action == "artifact.read"
	input.principal.id == "admin"
}

# METADATA
# title: The administrator reads what tasks printed
# schemas:
#   - input: schema["log.read"]
allow contains "default/log.read" if {
	input.action == "log.read"
	input.principal.id == "admin"
}
