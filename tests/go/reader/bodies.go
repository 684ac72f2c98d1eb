package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
)

// decoded is a body as Go's structures hold it afterwards, written down again: every member once, in one spelling.
type decoded struct {
	Old, New           json.RawMessage `json:",omitempty"`
	OldError, NewError string          `json:",omitempty"`
}

// body decodes as the handlers do: of 20.10, whose decoder leaves alone what follows the value, and of later
// engines (httputils.ReadJSON).
func body(kind byte, data []byte) decoded {
	before, now := structures(kind)
	var both decoded
	both.Old, both.OldError = reencoded(data, true, before)
	both.New, both.NewError = reencoded(data, false, now)
	return both
}

func structures(kind byte) (interface{}, interface{}) {
	switch kind {
	case 'c':
		return new(wrapper), new(createRequest)
	case 's':
		return new(serviceSpec), new(serviceSpec)
	case 'e':
		return new(execConfig), new(execConfig)
	case 'u':
		return new(updateConfig), new(updateConfig)
	case 'd':
		return new(volume), new(volume)
	}
	panic("no such kind of body")
}

func reencoded(data []byte, before bool, into interface{}) (json.RawMessage, string) {
	if err := read(data, before, func(d *json.Decoder) error { return d.Decode(into) }); err != nil {
		return nil, err.Error()
	}
	text, err := json.Marshal(into)
	if err != nil {
		panic(err)
	}
	return text, ""
}

func read(data []byte, before bool, decode func(*json.Decoder) error) error {
	if len(data) == 0 && !before {
		return nil
	}
	decoder := json.NewDecoder(io.Reader(bytes.NewReader(data)))
	if err := decode(decoder); err != nil {
		return err
	}
	if !before && decoder.More() {
		return errors.New("unexpected content after JSON")
	}
	return nil
}

// The structures of api/types, those of all engines in one. Their names are those of the API, but for the case of
// some that nobody here looks at.

type wrapper struct { // runconfig.ContainerConfigWrapper of 20.10
	*Config
	InnerHostConfig  *HostConfig `json:"HostConfig,omitempty"`
	Cpuset           string      `json:",omitempty"`
	NetworkingConfig *networkingConfig
	*HostConfig
}

type createRequest struct { // container.CreateRequest
	*Config
	HostConfig       *HostConfig `json:"HostConfig,omitempty"`
	NetworkingConfig *networkingConfig
}

type strSlice []string // strslice.StrSlice

func (s *strSlice) UnmarshalJSON(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	list := make([]string, 0, 1)
	if err := json.Unmarshal(text, &list); err != nil {
		var one string
		if err := json.Unmarshal(text, &one); err != nil {
			return err
		}
		list = append(list, one)
	}
	*s = list
	return nil
}

type Config struct {
	Hostname, Domainname, User              string
	AttachStdin, AttachStdout, AttachStderr bool
	ExposedPorts                            map[string]struct{}
	Tty, OpenStdin, StdinOnce               bool
	Env                                     []string
	Cmd                                     strSlice
	ArgsEscaped                             bool
	Image                                   string
	Volumes                                 map[string]struct{}
	WorkingDir                              string
	Entrypoint                              strSlice
	NetworkDisabled                         bool
	MacAddress                              string
	OnBuild                                 []string
	Labels                                  map[string]string
	StopSignal                              string
	StopTimeout                             *int
	Shell                                   strSlice
}

type networkingConfig struct {
	EndpointsConfig map[string]*struct {
		Links, Aliases                []string
		NetworkID, MacAddress         string
		GlobalIPv6PrefixLen, Priority int
		DriverOpts                    map[string]string
	}
}

type HostConfig struct {
	Binds           []string
	ContainerIDFile string
	LogConfig       struct {
		Type   string
		Config map[string]string
	}
	NetworkMode   string
	PortBindings  map[string][]struct{ HostIP, HostPort string }
	RestartPolicy restartPolicy
	AutoRemove    bool
	VolumeDriver  string
	VolumesFrom   []string
	ConsoleSize   [2]uint
	Annotations   map[string]string

	CapAdd, CapDrop                             strSlice
	CgroupnsMode                                string
	DNS, DNSOptions, DNSSearch                  []string
	ExtraHosts, GroupAdd                        []string
	IpcMode, Cgroup                             string
	Links                                       []string
	OomScoreAdj                                 int
	PidMode                                     string
	Privileged, PublishAllPorts, ReadonlyRootfs bool
	SecurityOpt                                 []string
	StorageOpt, Tmpfs                           map[string]string
	UTSMode, UsernsMode                         string
	ShmSize                                     int64
	Sysctls                                     map[string]string
	Runtime, Isolation                          string
	Resources
	Mounts                     []mount
	MaskedPaths, ReadonlyPaths []string
	Init                       *bool
}

type restartPolicy struct {
	Name              string
	MaximumRetryCount int
}

type Resources struct {
	CPUShares, Memory, NanoCPUs int64
	CgroupParent                string
	BlkioWeight                 uint16
	BlkioWeightDevice           []*struct {
		Path   string
		Weight uint16
	}
	CPUPeriod, CPUQuota    int64
	CpusetCpus, CpusetMems string
	Devices                []struct{ PathOnHost, PathInContainer, CgroupPermissions string }
	DeviceCgroupRules      []string
	DeviceRequests         []struct {
		Driver       string
		Count        int
		DeviceIDs    []string
		Capabilities [][]string
		Options      map[string]string
	}
	MemoryReservation, MemorySwap int64
	MemorySwappiness, PidsLimit   *int64
	OomKillDisable                *bool
	Ulimits                       []*struct {
		Name       string
		Hard, Soft int64
	}
}

type mount struct {
	Type, Source, Target string
	ReadOnly             bool
	Consistency          string
	BindOptions          *struct {
		Propagation  string
		NonRecursive bool
	}
	VolumeOptions *struct {
		NoCopy       bool
		Labels       map[string]string
		Subpath      string
		DriverConfig *struct {
			Name    string
			Options map[string]string
		}
	}
	ImageOptions *struct{ Subpath string }
	TmpfsOptions *struct {
		SizeBytes int64
		Mode      os.FileMode
	}
}

type execConfig struct {
	User                                               string
	Privileged, Tty, AttachStdin, AttachStderr, Detach bool
	AttachStdout                                       bool
	ConsoleSize                                        *[2]uint
	DetachKeys, WorkingDir                             string
	Env, Cmd                                           []string
}

type updateConfig struct {
	Resources
	RestartPolicy restartPolicy
}

type volume struct {
	Driver             string
	DriverOpts, Labels map[string]string
	Name               string
}

type Annotations struct { // swarm.Annotations
	Name   string
	Labels map[string]string
}

type serviceSpec struct {
	Annotations
	TaskTemplate struct {
		ContainerSpec *containerSpec
		PluginSpec    *struct {
			Name, Remote string
			Disabled     bool
		}
		NetworkAttachmentSpec *struct{ ContainerID string }
		RestartPolicy         *struct{ Condition string }
		Placement             *struct{ Constraints []string }
		ForceUpdate           uint64
		Runtime               string
	}
	Mode struct {
		Replicated *struct{ Replicas *uint64 }
	}
}

type containerSpec struct {
	Image         string
	Labels        map[string]string
	Command, Args []string
	Hostname      string
	Env           []string
	Dir, User     string
	Groups        []string
	Privileges    *struct {
		CredentialSpec *struct{ Config, File, Registry string }
		SELinuxContext *struct {
			Disable                 bool
			User, Role, Type, Level string
		}
		Seccomp *struct {
			Mode    string
			Profile []byte
		}
		AppArmor        *struct{ Mode string }
		NoNewPrivileges bool
	}
	Init                          *bool
	StopSignal                    string
	TTY, OpenStdin, ReadOnly      bool
	Mounts                        []mount
	Hosts                         []string
	Sysctls                       map[string]string
	CapabilityAdd, CapabilityDrop []string
}
