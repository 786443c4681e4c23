package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/swarm"
)

// Port is a port that a service publishes.
type Port struct {
	Service  string
	Protocol string // tcp, udp or sctp
	// Target is the port in the container, Published the one on the nodes.
	Target, Published int
	// Host: the port is open on the nodes that run a task of the service, and
	// there alone. Else it is on the routing mesh, on every node.
	Host bool
	// NodeIDs are the nodes that run a task of the service now, in order, where
	// Host is set. Empty where none does.
	NodeIDs []string
}

// Service is a service of the swarm.
type Service struct {
	ID      string
	Version uint64
	Name    string
	// Mode is replicated, global, replicated-job or global-job.
	Mode string
	// Running tasks, and how many the swarm wants.
	Running, Desired int
	// Replicas that it was told to have; nil for one that has no such number.
	Replicas *uint64
	// Update is the state of its last update, in moby's words; empty before one.
	Update, UpdateMessage string
	// Image as it was named, with the digest that the swarm found for it.
	Image string
	// Published are the ports as the swarm has them, before engines pick any.
	Published []Port
	// Ports that it publishes, ordered. One of Host mode that the engine picks for
	// each task is given once for each.
	Ports []Port
}

// Services are those of the swarm, which only managers know.
type Services struct{ *caller }

// List gives all of them, by name.
func (s Services) List(ctx context.Context) ([]Service, error) {
	var out []Service
	err := s.call(ctx, "service list", infoTimeout, func(ctx context.Context) error {
		services, err := s.api.ServiceList(ctx, swarm.ServiceListOptions{Status: true})
		if err != nil {
			return err
		}
		var tasks []swarm.Task
		// Engines before 20.10 do not count tasks.
		if slices.ContainsFunc(services, func(s swarm.Service) bool { return s.ServiceStatus == nil || publishesOnHosts(s) }) {
			// Of a service with thousands of old tasks, only the running ones.
			tasks, err = s.api.TaskList(ctx, swarm.TaskListOptions{Filters: filters.NewArgs(filters.Arg("desired-state", "running"))})
			if err != nil {
				return err
			}
		}
		out = servicesOf(services, tasks)
		return nil
	})
	return out, err
}

func servicesOf(services []swarm.Service, tasks []swarm.Task) []Service {
	var out []Service
	for _, s := range services {
		one := Service{ID: s.ID, Version: s.Version.Index, Name: s.Spec.Name, Mode: modeOf(s.Spec.Mode), Ports: portsOf([]swarm.Service{s}, tasks)}
		for _, p := range s.Endpoint.Ports {
			one.Published = append(one.Published, portFrom(s.Spec.Name, p))
		}
		if r := s.Spec.Mode.Replicated; r != nil {
			one.Replicas = r.Replicas
		}
		if u := s.UpdateStatus; u != nil {
			one.Update, one.UpdateMessage = string(u.State), u.Message
		}
		if c := s.Spec.TaskTemplate.ContainerSpec; c != nil {
			one.Image = c.Image
		}
		if s.ServiceStatus != nil {
			one.Running, one.Desired = int(s.ServiceStatus.RunningTasks), int(s.ServiceStatus.DesiredTasks)
		} else {
			for _, t := range tasks {
				if t.ServiceID != s.ID {
					continue
				}
				one.Desired++
				if t.Status.State == swarm.TaskStateRunning {
					one.Running++
				}
			}
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func modeOf(m swarm.ServiceMode) string {
	switch {
	case m.Global != nil:
		return "global"
	case m.ReplicatedJob != nil:
		return "replicated-job"
	case m.GlobalJob != nil:
		return "global-job"
	}
	return "replicated"
}

func publishesOnHosts(s swarm.Service) bool {
	return slices.ContainsFunc(s.Endpoint.Ports, onHost)
}

func onHost(p swarm.PortConfig) bool { return p.PublishMode == swarm.PortConfigPublishModeHost }

// portsOf puts services and tasks together. Ports on the mesh are the
// service's; those on hosts are what each task says, since the engine may have
// picked them.
func portsOf(services []swarm.Service, tasks []swarm.Task) []Port {
	var out []Port
	for _, s := range services {
		for _, p := range s.Endpoint.Ports {
			port := portFrom(s.Spec.Name, p)
			if !onHost(p) {
				out = append(out, port)
				continue
			}
			running := false
			for _, t := range tasks {
				if t.ServiceID != s.ID || t.Status.State != swarm.TaskStateRunning {
					continue
				}
				for _, open := range t.Status.PortStatus.Ports {
					if open.TargetPort != p.TargetPort || open.Protocol != p.Protocol || p.PublishedPort != 0 && open.PublishedPort != p.PublishedPort {
						continue
					}
					running = true
					out = place(out, portFrom(s.Spec.Name, open), t.NodeID)
				}
			}
			if !running {
				out = append(out, port)
			}
		}
	}
	slices.SortFunc(out, func(a, b Port) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), a.Published-b.Published, a.Target-b.Target, strings.Compare(a.Protocol, b.Protocol))
	})
	return out
}

func portFrom(service string, p swarm.PortConfig) Port {
	return Port{Service: service, Protocol: string(p.Protocol), Target: int(p.TargetPort), Published: int(p.PublishedPort), Host: onHost(p)}
}

// place adds a node to the port that it has in common with others, or a port of
// its own.
func place(ports []Port, p Port, node string) []Port {
	p.Host = true // some engines leave the mode out of a task's ports
	for i, q := range ports {
		if q.Host && q.Service == p.Service && q.Protocol == p.Protocol && q.Target == p.Target && q.Published == p.Published {
			if !slices.Contains(q.NodeIDs, node) {
				ports[i].NodeIDs = append(ports[i].NodeIDs, node)
				slices.Sort(ports[i].NodeIDs)
			}
			return ports
		}
	}
	p.NodeIDs = []string{node}
	return append(ports, p)
}

// NewService is a service that is to be made, of an image that the nodes have.
type NewService struct {
	Name, Image string
	Replicas    uint64
	Labels      map[string]string
	// Env of its containers, NAME=VALUE, with the templates of docker service create.
	Env []string
}

// Create makes a service.
func (s Services) Create(ctx context.Context, n NewService) error {
	return s.call(ctx, "service create", changeTimeout, func(ctx context.Context) error {
		_, err := s.api.ServiceCreate(ctx, swarm.ServiceSpec{
			Annotations:  swarm.Annotations{Name: n.Name, Labels: n.Labels},
			Mode:         swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &n.Replicas}},
			TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Image: n.Image, Env: n.Env}},
		}, swarm.ServiceCreateOptions{})
		return err
	})
}

// Remove removes the services that have a label.
func (s Services) Remove(ctx context.Context, label string) error {
	return s.call(ctx, "service remove", changeTimeout, func(ctx context.Context) error {
		list, err := s.api.ServiceList(ctx, swarm.ServiceListOptions{Filters: filters.NewArgs(filters.Arg("label", label))})
		for _, one := range list {
			err = errors.Join(err, s.api.ServiceRemove(ctx, one.ID))
		}
		return err
	})
}

// Containers is how many containers of a service's tasks run on this engine, be its
// node a manager or a worker.
func (s Services) Containers(ctx context.Context, service string) (int, error) {
	count := 0
	err := s.call(ctx, "container list", infoTimeout, func(ctx context.Context) error {
		list, err := s.api.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "com.docker.swarm.service.name="+service))})
		count = len(list)
		return err
	})
	return count, err
}
