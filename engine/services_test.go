package engine

import (
	"reflect"
	"testing"

	"github.com/docker/docker/api/types/swarm"
)

func TestPortsOf(t *testing.T) {
	mesh := func(target, published uint32) swarm.PortConfig {
		return swarm.PortConfig{Protocol: "tcp", TargetPort: target, PublishedPort: published, PublishMode: "ingress"}
	}
	host := func(target, published uint32) swarm.PortConfig {
		return swarm.PortConfig{Protocol: "tcp", TargetPort: target, PublishedPort: published, PublishMode: "host"}
	}
	service := func(name string, ports ...swarm.PortConfig) swarm.Service {
		return swarm.Service{ID: "id-" + name, Spec: swarm.ServiceSpec{Annotations: swarm.Annotations{Name: name}}, Endpoint: swarm.Endpoint{Ports: ports}}
	}
	task := func(service, node string, state swarm.TaskState, ports ...swarm.PortConfig) swarm.Task {
		return swarm.Task{ServiceID: "id-" + service, NodeID: node, Status: swarm.TaskStatus{State: state, PortStatus: swarm.PortStatus{Ports: ports}}}
	}
	for name, c := range map[string]struct {
		services []swarm.Service
		tasks    []swarm.Task
		want     []Port
	}{
		"nothing is published": {services: []swarm.Service{service("quiet")}},
		"on the mesh, by service and port": {
			services: []swarm.Service{service("web", mesh(443, 8443), mesh(80, 8080)), service("api", mesh(80, 9000))},
			want: []Port{
				{Service: "api", Protocol: "tcp", Target: 80, Published: 9000},
				{Service: "web", Protocol: "tcp", Target: 80, Published: 8080},
				{Service: "web", Protocol: "tcp", Target: 443, Published: 8443},
			},
		},
		"on hosts, where a task runs": {
			services: []swarm.Service{service("web", host(80, 8080)), service("other")},
			tasks: []swarm.Task{
				task("web", "n2", "running", host(80, 8080)), task("web", "n1", "running", host(80, 8080)),
				task("web", "n3", "starting"), task("web", "n4", "failed", host(80, 8080)), task("other", "n5", "running"),
			},
			want: []Port{{Service: "web", Protocol: "tcp", Target: 80, Published: 8080, Host: true, NodeIDs: []string{"n1", "n2"}}},
		},
		"on hosts, and none runs": {
			services: []swarm.Service{service("web", host(80, 8080))},
			want:     []Port{{Service: "web", Protocol: "tcp", Target: 80, Published: 8080, Host: true}},
		},
		"on hosts, at ports that the engines picked": {
			services: []swarm.Service{service("web", host(80, 0))},
			tasks:    []swarm.Task{task("web", "n1", "running", host(80, 32769)), task("web", "n2", "running", host(80, 32768))},
			want: []Port{
				{Service: "web", Protocol: "tcp", Target: 80, Published: 32768, Host: true, NodeIDs: []string{"n2"}},
				{Service: "web", Protocol: "tcp", Target: 80, Published: 32769, Host: true, NodeIDs: []string{"n1"}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := portsOf(c.services, c.tasks); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}
