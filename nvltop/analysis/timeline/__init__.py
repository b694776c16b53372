"""The timeline: what happened on the node, from changes of state, the driver, the logs and the findings."""
