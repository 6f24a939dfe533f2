package symbi.authz_test

import data.symbi.authz

asked(principal, action, resource) := {
	"principal": {"id": principal, "kind": split(principal, ":")[0]},
	"action": action,
	"resource": resource,
	"context": {},
}

agent := {"namespace": "default", "name": "a", "agent": "a", "owner": "admin", "state": "Ready"}

described := {"namespace": "default", "name": "a", "manifest": {"namespace": "default", "name": "a"}}

# Who may do what to agents; whoever is not listed may not.
on_agents := {
	"agent.create": {"admin"},
	"agent.update": {"admin"},
	"agent.suspend": {"admin", "temporal-ui"},
	"agent.resume": {"admin", "temporal-ui"},
	"agent.terminate": {"admin", "temporal-ui"},
}

everybody := {"admin", "temporal-ui", "runtime", "node:a", "anonymous", "agent:default/a", "key:1", ""}

test_only_those_listed_act_on_agents if {
	every action, listed in on_agents {
		every principal in everybody {
			question := asked(principal, action, object.union(agent, described))
			allowed := count(authz.allow) > 0 with input as question
			allowed == (principal in listed)
			count(authz.deny) == 0 with input as question
		}
	}
}

test_a_manifest_of_another_agent_is_denied if {
	every action in {"agent.create", "agent.update"} {
		every other in [{"name": "b", "namespace": "default"}, {"name": "a", "namespace": "x"}, {}] {
			some objection in authz.deny with input as asked("admin", action, object.union(described, {"manifest": null, "claimed": other}))
			objection.rule == sprintf("default/%s-elsewhere", [action])
			some with_other in authz.deny with input as asked("admin", action, {"namespace": "default", "name": "a", "manifest": other})
			with_other.rule == objection.rule
		}
	}
}

test_an_action_that_nobody_knows_is_not_allowed if {
	count(authz.allow) == 0 with input as asked("admin", "agent.praise", agent)
}
