package symbi.authz_test

import data.symbi.authz

attempt := {"namespace": "default", "name": "t", "agent": "a", "tier": "docker", "min_tier": "docker"}

# Who may do what to tasks and with content.
on_tasks := {
	"task.submit": {"admin"},
	"task.retry": {"admin"},
	"task.cancel": {"admin", "temporal-ui"},
	"task.run": {"admin", "runtime", "node:a"},
	"resource.request": {"admin", "runtime", "node:a"},
	"sandbox.start": {"admin", "runtime", "node:a"},
	"blob.write": {"admin"},
	"artifact.read": {"admin"},
	"log.read": {"admin"},
}

test_only_those_listed_act_on_tasks_and_content if {
	every action, listed in on_tasks {
		every principal in everybody {
			allowed := count(authz.allow) > 0 with input as asked(principal, action, attempt)
			allowed == (principal in listed)
		}
	}
}

# Whether a task may run in a tier, given what its manifest asks for.
tiers := [
	{"given": {"tier": "docker"}, "denied": false},
	{"given": {"tier": "docker", "min_tier": ""}, "denied": false},
	{"given": {"tier": "docker", "min_tier": "docker"}, "denied": false},
	{"given": {"tier": "gvisor", "min_tier": "docker"}, "denied": false},
	{"given": {"tier": "gvisor", "min_tier": "gvisor"}, "denied": false},
	{"given": {"tier": "docker", "min_tier": "gvisor"}, "denied": true},
	{"given": {"tier": "chroot", "min_tier": "docker"}, "denied": true},
	{"given": {"tier": "gvisor", "min_tier": "unheard-of"}, "denied": true},
	{"given": {"tier": ""}, "denied": true},
	{"given": {}, "denied": true},
]

test_a_weaker_tier_than_asked_for_is_denied if {
	every action in {"task.run", "sandbox.start"} {
		every case in tiers {
			denied := count(authz.deny) > 0 with input as asked("runtime", action, case.given)
			denied == case.denied
		}
	}
}

test_the_tier_is_asked_of_nothing_else if {
	count(authz.deny) == 0 with input as asked("admin", "task.submit", {"namespace": "default", "name": "t"})
}
