package engine

import (
	"context"
	"slices"
	"strconv"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
)

// Task is one task of a service, on the node that it was given to.
type Task struct {
	ID string
	// Version of the object, which is the index in raft's log of its last change.
	Version uint64
	// NodeID is empty as long as no node has it.
	NodeID    string
	ServiceID string
	// Name is service.slot, or service.node-id for a global service, as in
	// docker service ps.
	Name string
	// State that the node last told of, Desired the one that the swarm wants:
	// moby's swarm.TaskState, in small letters.
	State   string
	Desired string
	// Message is why it is in its state.
	Message string
	// Attached is a container outside any service that joined a network of the
	// swarm (docker run --network): the swarm neither moves nor stops it.
	Attached bool
}

// Running tells whether the task may still hold a container on its node.
func (t Task) Running() bool { return !ended(t.State) }

// Wanted tells whether the swarm wants the task to run where it is.
func (t Task) Wanted() bool { return !ended(t.Desired) }

func ended(state string) bool {
	switch swarm.TaskState(state) {
	case swarm.TaskStateComplete, swarm.TaskStateShutdown, swarm.TaskStateFailed, swarm.TaskStateRejected, swarm.TaskStateRemove, swarm.TaskStateOrphaned:
		return true
	}
	return false
}

// Tasks gives the tasks of all services, also those that have ended and are
// kept; on managers only.
func (s Swarm) Tasks(ctx context.Context) ([]Task, error) {
	var out []Task
	err := s.call(ctx, "task list", infoTimeout, func(ctx context.Context) error {
		tasks, err := s.api.TaskList(ctx, swarm.TaskListOptions{})
		if err != nil {
			return err
		}
		services, err := s.api.ServiceList(ctx, swarm.ServiceListOptions{})
		if err != nil {
			return err
		}
		names := map[string]string{}
		for _, s := range services {
			names[s.ID] = s.Spec.Name
		}
		out = make([]Task, 0, len(tasks))
		for _, t := range tasks {
			out = append(out, taskFrom(t, names[t.ServiceID]))
		}
		return nil
	})
	return out, err
}

func taskFrom(t swarm.Task, service string) Task {
	out := Task{
		ID: t.ID, Version: t.Version.Index, NodeID: t.NodeID, ServiceID: t.ServiceID,
		State: string(t.Status.State), Desired: string(t.DesiredState), Message: t.Status.Err, Attached: t.ServiceID == "",
	}
	switch {
	case service == "": // of a service that was removed, or of none
		out.Name = t.ID
	case t.Slot != 0:
		out.Name = service + "." + strconv.Itoa(t.Slot)
	default:
		out.Name = service + "." + t.NodeID
	}
	return out
}

// Holdings are what a swarm keeps for its users, by name, each sorted. They
// are gone with the swarm.
type Holdings struct {
	Services []string
	Secrets  []string
	Configs  []string
	// Networks of the swarm's scope, without its own ingress.
	Networks []string
}

// Holdings gives what the swarm keeps; on managers only.
func (s Swarm) Holdings(ctx context.Context) (Holdings, error) {
	var out Holdings
	err := s.call(ctx, "services, secrets, configs and networks", infoTimeout, func(ctx context.Context) error {
		out = Holdings{}
		services, err := s.api.ServiceList(ctx, swarm.ServiceListOptions{})
		if err != nil {
			return err
		}
		for _, s := range services {
			out.Services = append(out.Services, s.Spec.Name)
		}
		secrets, err := s.api.SecretList(ctx, swarm.SecretListOptions{})
		if err != nil {
			return err
		}
		for _, s := range secrets {
			out.Secrets = append(out.Secrets, s.Spec.Name)
		}
		configs, err := s.api.ConfigList(ctx, swarm.ConfigListOptions{})
		if err != nil {
			return err
		}
		for _, s := range configs {
			out.Configs = append(out.Configs, s.Spec.Name)
		}
		networks, err := s.api.NetworkList(ctx, network.ListOptions{})
		if err != nil {
			return err
		}
		for _, n := range networks {
			if n.Scope == "swarm" && !n.Ingress {
				out.Networks = append(out.Networks, n.Name)
			}
		}
		for _, names := range [][]string{out.Services, out.Secrets, out.Configs, out.Networks} {
			slices.Sort(names)
		}
		return nil
	})
	return out, err
}

// Standalone is how many containers run on this engine that are no task of a
// service.
func (s Swarm) Standalone(ctx context.Context) (int, error) {
	count := 0
	err := s.call(ctx, "container list", infoTimeout, func(ctx context.Context) error {
		list, err := s.api.ContainerList(ctx, container.ListOptions{})
		if err != nil {
			return err
		}
		count = 0
		for _, one := range list {
			if one.Labels["com.docker.swarm.task.id"] == "" {
				count++
			}
		}
		return nil
	})
	return count, err
}
