package volumes

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/linux/devmapper"
	"github.com/ipe-linux/ipe/internal/plain"
)

// closed is the result of dmverity close.
type closed struct {
	Name string `json:"name"`
	// Pending says that it goes when it is not in use any more.
	Pending bool `json:"pending"`
}

func (a *app) dmClose() *cobra.Command {
	var deferred, cancel bool
	cmd := &cobra.Command{
		Use: "close NAME", Aliases: []string{"remove"}, Short: "Remove the device of a volume", Args: ui.Exactly(1, "NAME"),
		Long: "Close removes /dev/mapper/NAME, and the loop devices that were made for it. One that is in use is left\n" +
			"alone, or with --deferred removed as soon as it is not in use any more; --cancel-deferred takes that back.",
		ValidArgsFunction: a.volumeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if deferred && cancel {
				return ui.Usage(cmd, "--deferred and --cancel-deferred contradict each other")
			}
			name := strings.TrimPrefix(args[0], devmapper.Dir+"/")
			if err := goodName(cmd, name); err != nil {
				return err
			}
			return a.runDMClose(name, deferred, cancel)
		},
	}
	cmd.Flags().BoolVar(&cancel, "cancel-deferred", false, "keep a device that --deferred was to remove")
	cmd.Flags().BoolVar(&deferred, "deferred", false, "remove a device that is in use as soon as it is not")
	return cmd
}

func (a *app) runDMClose(name string, deferred, cancel bool) error {
	if cancel {
		a.trace("device-mapper: keep %s", plain.Name(devmapper.Path(name)))
		if err := devmapper.Keep(name); err != nil {
			return mapperHint(err)
		}
		return a.Result(closed{Name: name}, "")
	}
	a.trace("device-mapper: remove %s, deferred: %v", plain.Name(devmapper.Path(name)), deferred)
	pending, err := devmapper.Close(name, deferred)
	if err != nil {
		return mapperHint(err)
	}
	text := ""
	if pending {
		text = fmt.Sprintf("%s is in use, and goes when it is not\n", plain.Name(devmapper.Path(name)))
	}
	return a.Result(closed{name, pending}, "%s", text)
}

// volumeNames lets shells complete the name of an open volume.
func (a *app) volumeNames(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := devmapper.List()
	if err != nil && len(all) == 0 {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, s := range all {
		if m, err := devmapper.Mangle(s.Name); err == nil {
			names = append(names, m)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
