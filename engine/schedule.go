package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/swarm"
)

// Schedule is what a manager's scheduler decides by, as far as the API tells it.
type Schedule struct {
	Nodes    []ScheduleNode
	Services []ScheduleService
	Tasks    []ScheduleTask
}

// ScheduleNode is a node as the scheduler sees it.
type ScheduleNode struct {
	Node
	EngineLabels map[string]string
	Platform     Platform
	// Resources that the node has in all, whoever reserves them.
	Resources Resources
	Plugins   []Plugin
}

// Platform is an operating system and an architecture; what is empty is any.
type Platform struct{ OS, Arch string }

// Resources are what a node has, or a task reserves.
type Resources struct {
	NanoCPUs, Memory int64 // Memory in bytes
	// Generic are counts, by kind; named ones are counted, too.
	Generic map[string]int64
}

// Plugin is a plugin of an engine: its type is Volume, Network, Log or another.
type Plugin struct{ Type, Name string }

// HostPort is a port that a task takes on its node.
type HostPort struct {
	Protocol string
	Port     int
	// Target is the port in the container.
	Target int
}

// Requirements are what a task asks of its node.
type Requirements struct {
	Constraints []string
	// Preferences are what tasks are spread over: node.labels.zone.
	Preferences []string
	Platforms   []Platform
	Reserved    Resources
	MaxReplicas uint64 // on a node; 0 is any number
	// HostPorts of a fixed number, in host mode.
	HostPorts []HostPort
	// Plugins that the node has to have: drivers of volumes, networks and logs.
	Plugins []Plugin
	// ClusterVolumes: it mounts volumes of the swarm's (CSI), since 23.0.
	ClusterVolumes bool
}

// ScheduleService is a service as its tasks are made from it.
type ScheduleService struct {
	ID, Name string
	// Mode is replicated, global, replicated-job or global-job.
	Mode string
	// Replicas wanted, or the completions of a job; 0 where it is global.
	Replicas uint64
	// Image as it was named, without a digest.
	Image string
	Needs Requirements
	// UpdateOrder is start-first or stop-first.
	UpdateOrder string
	// UpdateState is that of the newest update, empty where there was none:
	// updating, paused, completed, rollback_started, rollback_paused or
	// rollback_completed.
	UpdateState, UpdateMessage string
}

// ScheduleTask is a task with what it asks for.
type ScheduleTask struct {
	Task
	// Service is the id of its service, empty where it belongs to none.
	Service string
	Slot    int
	Needs   Requirements
	// Message and Error are the swarm's words about State, reached at Since.
	Message, Error string
	Since, Created time.Time
	ExitCode       int
}

// Schedule gives what the scheduler decides by; on managers only.
func (s Swarm) Schedule(ctx context.Context) (Schedule, error) {
	var out Schedule
	err := s.call(ctx, "nodes, services and tasks", infoTimeout, func(ctx context.Context) error {
		nodes, err := s.api.NodeList(ctx, swarm.NodeListOptions{})
		if err != nil {
			return err
		}
		services, err := s.api.ServiceList(ctx, swarm.ServiceListOptions{})
		if err != nil {
			return err
		}
		tasks, err := s.api.TaskList(ctx, swarm.TaskListOptions{Filters: filters.NewArgs()})
		if err != nil {
			return err
		}
		out = scheduleOf(nodes, services, tasks)
		return nil
	})
	return out, err
}

func scheduleOf(nodes []swarm.Node, services []swarm.Service, tasks []swarm.Task) Schedule {
	var out Schedule
	byID := map[string]swarm.Service{}
	for _, n := range nodes {
		one := ScheduleNode{
			Node: nodeFrom(n), EngineLabels: n.Description.Engine.Labels,
			Platform:  Platform{OS: n.Description.Platform.OS, Arch: n.Description.Platform.Architecture},
			Resources: resourcesFrom(&n.Description.Resources),
		}
		for _, p := range n.Description.Engine.Plugins {
			one.Plugins = append(one.Plugins, Plugin{p.Type, p.Name})
		}
		out.Nodes = append(out.Nodes, one)
	}
	for _, s := range services {
		byID[s.ID] = s
		out.Services = append(out.Services, scheduleService(s))
	}
	for _, t := range tasks {
		service, known := byID[t.ServiceID]
		name := ""
		if known {
			name = service.Spec.Name
		}
		one := ScheduleTask{
			Task: taskFrom(t, name), Service: t.ServiceID, Slot: t.Slot, Needs: requirements(t.Spec),
			Message: t.Status.Message, Error: plain(t.Status.Err), Since: t.Status.Timestamp, Created: t.CreatedAt,
		}
		if s := t.Status.ContainerStatus; s != nil {
			one.ExitCode = s.ExitCode
		}
		for _, a := range t.NetworksAttachments {
			if driver := a.Network.DriverState.Name; driver != "" {
				one.Needs.Plugins = append(one.Needs.Plugins, Plugin{"Network", driver})
			}
		}
		one.Needs.HostPorts = portsOfTask(t, service, known)
		out.Tasks = append(out.Tasks, one)
	}
	slices.SortFunc(out.Services, func(a, b ScheduleService) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(out.Tasks, func(a, b ScheduleTask) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), a.Slot-b.Slot, strings.Compare(a.NodeID, b.NodeID), b.Created.Compare(a.Created), strings.Compare(a.ID, b.ID))
	})
	slices.SortFunc(out.Nodes, func(a, b ScheduleNode) int { return strings.Compare(a.Hostname+a.ID, b.Hostname+b.ID) })
	return out
}

func scheduleService(s swarm.Service) ScheduleService {
	out := ScheduleService{ID: s.ID, Name: s.Spec.Name, Mode: modeOf(s.Spec.Mode), Needs: requirements(s.Spec.TaskTemplate), UpdateOrder: swarm.UpdateOrderStopFirst}
	if r := s.Spec.Mode.Replicated; r != nil && r.Replicas != nil {
		out.Replicas = *r.Replicas
	}
	if j := s.Spec.Mode.ReplicatedJob; j != nil && j.TotalCompletions != nil {
		out.Replicas = *j.TotalCompletions
	}
	if c := s.Spec.TaskTemplate.ContainerSpec; c != nil {
		out.Image, _, _ = strings.Cut(c.Image, "@")
	}
	if u := s.Spec.UpdateConfig; u != nil && u.Order != "" {
		out.UpdateOrder = u.Order
	}
	if u := s.UpdateStatus; u != nil {
		out.UpdateState, out.UpdateMessage = string(u.State), plain(u.Message)
	}
	out.Needs.HostPorts = fixedPorts(s.Endpoint.Ports)
	return out
}

func resourcesFrom(r *swarm.Resources) Resources {
	var out Resources
	if r == nil {
		return out
	}
	out.NanoCPUs, out.Memory = r.NanoCPUs, r.MemoryBytes
	for _, g := range r.GenericResources {
		kind, count := "", int64(0)
		switch {
		case g.DiscreteResourceSpec != nil:
			kind, count = g.DiscreteResourceSpec.Kind, g.DiscreteResourceSpec.Value
		case g.NamedResourceSpec != nil:
			kind, count = g.NamedResourceSpec.Kind, 1
		}
		if out.Generic == nil {
			out.Generic = map[string]int64{}
		}
		out.Generic[kind] += count
	}
	return out
}

// requirements are those of a spec. Networks and ports are not in it.
func requirements(spec swarm.TaskSpec) Requirements {
	var out Requirements
	if spec.Resources != nil {
		out.Reserved = resourcesFrom(spec.Resources.Reservations)
	}
	if p := spec.Placement; p != nil {
		out.Constraints, out.MaxReplicas = p.Constraints, p.MaxReplicas
		for _, one := range p.Preferences {
			if one.Spread != nil {
				out.Preferences = append(out.Preferences, one.Spread.SpreadDescriptor)
			}
		}
		for _, one := range p.Platforms {
			out.Platforms = append(out.Platforms, Platform{OS: one.OS, Arch: one.Architecture})
		}
	}
	if spec.ContainerSpec != nil {
		for _, m := range spec.ContainerSpec.Mounts {
			switch {
			case m.Type == mount.TypeCluster:
				out.ClusterVolumes = true
			case m.Type == mount.TypeVolume && m.VolumeOptions != nil && m.VolumeOptions.DriverConfig != nil:
				if name := m.VolumeOptions.DriverConfig.Name; name != "" && name != "local" {
					out.Plugins = append(out.Plugins, Plugin{"Volume", name})
				}
			}
		}
	}
	if l := spec.LogDriver; l != nil && l.Name != "" && l.Name != "none" {
		out.Plugins = append(out.Plugins, Plugin{"Log", l.Name})
	}
	return out
}

func fixedPorts(ports []swarm.PortConfig) []HostPort {
	var out []HostPort
	for _, p := range ports {
		if onHost(p) && p.PublishedPort != 0 {
			out = append(out, HostPort{string(p.Protocol), int(p.PublishedPort), int(p.TargetPort)})
		}
	}
	return out
}

// portsOfTask are those that the scheduler counts as the task's. The API does not
// tell them; those of a task that runs are in its status, beside ports that an
// engine has picked, which do not count.
func portsOfTask(t swarm.Task, s swarm.Service, known bool) []HostPort {
	now := fixedPorts(s.Endpoint.Ports)
	if len(t.Status.PortStatus.Ports) == 0 {
		return now
	}
	could := now
	if s.PreviousSpec != nil && s.PreviousSpec.EndpointSpec != nil {
		could = append(slices.Clone(now), fixedPorts(s.PreviousSpec.EndpointSpec.Ports)...)
	}
	var out []HostPort
	for _, p := range t.Status.PortStatus.Ports {
		one := HostPort{string(p.Protocol), int(p.PublishedPort), int(p.TargetPort)}
		if !known || slices.Contains(could, one) {
			out = append(out, one)
		}
	}
	return out
}
