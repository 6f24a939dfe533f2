# What may be done to agents.
package symbi.authz

# METADATA
# title: The administrator creates agents
# schemas:
#   - input: schema["agent.create"]
allow contains "default/agent.create" if {
	input.action == "agent.create"
	input.principal.id == "admin"
}

# METADATA
# title: The administrator gives agents new manifests
# schemas:
#   - input: schema["agent.update"]
allow contains "default/agent.update" if {
	input.action == "agent.update"
	input.principal.id == "admin"
}

# METADATA
# title: The administrator, and whoever is logged in to the Temporal Web UI, suspend agents
# schemas:
#   - input: schema["agent.suspend"]
allow contains "default/agent.suspend" if {
	input.action == "agent.suspend"
	input.principal.id in {"admin", "temporal-ui"}
}

# METADATA
# title: The administrator, and whoever is logged in to the Temporal Web UI, resume agents
# schemas:
#   - input: schema["agent.resume"]
allow contains "default/agent.resume" if {
	input.action == "agent.resume"
	input.principal.id in {"admin", "temporal-ui"}
}

# METADATA
# title: The administrator, and whoever is logged in to the Temporal Web UI, terminate agents
# schemas:
#   - input: schema["agent.terminate"]
allow contains "default/agent.terminate" if {
	input.action == "agent.terminate"
	input.principal.id in {"admin", "temporal-ui"}
}

# METADATA
# title: An agent is created as what its manifest says, where it says
# description: Rules that look at the name or the namespace would otherwise judge another agent than the one that comes to be.
# schemas:
#   - input: schema["agent.create"]
deny contains {"rule": "default/agent.create-elsewhere", "reason": "the manifest names another agent than the request"} if {
	input.action == "agent.create"
	not manifest_of_resource
}

# METADATA
# title: An agent is updated by a manifest of its own
# schemas:
#   - input: schema["agent.update"]
deny contains {"rule": "default/agent.update-elsewhere", "reason": "the manifest names another agent than the request"} if {
	input.action == "agent.update"
	not manifest_of_resource
}

# METADATA
# scope: rule
# schemas:
#   - input: schema["agent.create"]
manifest_of_resource if {
	input.resource.manifest.name == input.resource.name
	input.resource.manifest.namespace == input.resource.namespace
}
