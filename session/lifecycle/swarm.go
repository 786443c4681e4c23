package lifecycle

// Swarm makes the operations on the lab's swarm. No machine is made, started, halted or
// removed by them.
type Swarm struct{ of Operator }

// Swarm gives the operations on the lab's swarm.
func (o Operator) Swarm() Swarm { return Swarm{o} }
