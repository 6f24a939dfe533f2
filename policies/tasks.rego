# What may be done to tasks, and what the runtime may do for them.
package symbi.authz

# METADATA
# title: The administrator submits tasks
# schemas:
#   - input: schema["task.submit"]
allow contains "default/task.submit" if {
	input.action == "task.submit"
	input.principal.id == "admin"
}

# METADATA
# title: The administrator runs ended tasks again
# schemas:
#   - input: schema["task.retry"]
allow contains "default/task.retry" if {
	input.action == "task.retry"
	input.principal.id == "admin"
}

# METADATA
# title: The administrator, and whoever is logged in to the Temporal Web UI, cancel tasks
# schemas:
#   - input: schema["task.cancel"]
allow contains "default/task.cancel" if {
	input.action == "task.cancel"
	input.principal.id in {"admin", "temporal-ui"}
}

# METADATA
# title: The runtime runs tasks that were submitted
# schemas:
#   - input: schema["task.run"]
allow contains "default/task.run" if {
	input.action == "task.run"
	input.principal.kind in {"admin", "runtime", "node"}
}

# METADATA
# title: The runtime asks for a node's resources
# schemas:
#   - input: schema["resource.request"]
allow contains "default/resource.request" if {
	input.action == "resource.request"
	input.principal.kind in {"admin", "runtime", "node"}
}

# METADATA
# title: The runtime starts sandboxes
# schemas:
#   - input: schema["sandbox.start"]
allow contains "default/sandbox.start" if {
	input.action == "sandbox.start"
	input.principal.kind in {"admin", "runtime", "node"}
}

# METADATA
# title: A task runs in no weaker sandbox than its manifest asks for
# description: A question that states no tier is refused too.
# schemas:
#   - input: schema["task.run"]
deny contains {"rule": "default/task.run-tier", "reason": "the sandbox tier is not stated, or weaker than the manifest's min_tier"} if {
	input.action == "task.run"
	not strong_enough
}

# METADATA
# title: A sandbox is started in no weaker tier than the manifest asks for
# schemas:
#   - input: schema["sandbox.start"]
deny contains {"rule": "default/sandbox.start-tier", "reason": "the sandbox tier is not stated, or weaker than the manifest's min_tier"} if {
	input.action == "sandbox.start"
	not strong_enough
}

# The tiers by strength. A tier that is not listed is no tier.
strength := {"docker": 1, "gvisor": 2}

# METADATA
# scope: rule
# schemas:
#   - input: schema["task.run"]
strong_enough if strength[input.resource.tier] >= strength[floor]

default floor := "docker"

# METADATA
# scope: rule
# schemas:
#   - input: schema["task.run"]
floor := input.resource.min_tier if input.resource.min_tier != ""
