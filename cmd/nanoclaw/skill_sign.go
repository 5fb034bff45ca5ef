package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/kit"
	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
)

const defaultKey = "(default sign.key below $XDG_CONFIG_HOME/nanoclaw)"

func (a *app) skillKeygenCmd() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use: "keygen [-o FILE]", Short: "Make a key to sign skills with", Args: usageArgs(cobra.NoArgs),
		Long: `Make a key pair in minisign's format: the private key in FILE, the public one in FILE.pub.
On a terminal a password is asked for; an empty one leaves the private key unencrypted.`,
		RunE: func(*cobra.Command, []string) error {
			path, err := keyPath(out)
			if err != nil {
				return err
			}
			password := ""
			if isTerminal(a.stdin) {
				if password, err = a.password("Password for the new key (empty: none): "); err != nil {
					return err
				}
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
			public, err := kit.NewKey(path, password)
			if err != nil {
				return coded(err)
			}
			fmt.Fprintf(a.stdout, "private key  %s\npublic key   %s\n", path, public)
			return nil
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "file of the private key "+defaultKey)
	return c
}

func keyPath(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "nanoclaw", "sign.key"), err
}

// password asks on the terminal, without echo.
func (a *app) password(prompt string) (string, error) {
	f, ok := a.stdin.(*os.File)
	if !ok || !isTerminal(f) {
		return "", &exitError{exitUsage, errors.New("the key is encrypted and there is no terminal to ask for its password")}
	}
	fmt.Fprint(a.stderr, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(a.stderr)
	return string(b), err
}

func (a *app) skillSignCmd() *cobra.Command {
	var keyFile string
	c := &cobra.Command{
		Use: "sign FILE", Short: "Sign a skill: code and manifest together", Args: usageArgs(cobra.ExactArgs(1)),
		Long: `Sign a .wasm file with a minisign key, over every byte of it, and put the signature in as
its last section. A signature that is there already is replaced.`,
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := skill.Read(args[0])
			if err != nil {
				return coded(err)
			}
			path, err := keyPath(keyFile)
			if err != nil {
				return err
			}
			key, err := kit.ReadKey(path, func() (string, error) { return a.password("Password of the key: ") })
			if err != nil {
				return coded(err)
			}
			if err := kit.Sign(f, key); err != nil {
				return coded(err)
			}
			fmt.Fprintf(a.stdout, "signed %s %s with key %016X\n", f.Manifest.Name, f.Manifest.Version, key.ID())
			return nil
		},
	}
	c.Flags().StringVarP(&keyFile, "key", "k", "", "file of the private key "+defaultKey)
	return c
}

func (a *app) skillVerifyCmd() *cobra.Command {
	var with []string
	c := &cobra.Command{
		Use: "verify FILE", Short: "Say who signed a skill", Args: usageArgs(cobra.ExactArgs(1)),
		Long: `Say who signed a .wasm file. Exit code 3: nobody did, the signature does not fit, or its
key is not among those that you trust, or that --key names.`,
		RunE: func(_ *cobra.Command, args []string) error {
			err := a.verifySignature(args[0], with)
			return coded(err)
		},
	}
	c.Flags().StringArrayVarP(&with, "key", "k", nil,
		"public key or its file, in place of the trusted ones (may be repeated)")
	return c
}

func (a *app) verifySignature(path string, with []string) error {
	f, err := skill.Read(path)
	if err != nil {
		return err
	}
	var keys []skill.TrustedKey
	for _, s := range with {
		key, err := kit.PublicKey(s)
		if err != nil {
			return err
		}
		keys = append(keys, skill.TrustedKey{Key: key, Name: s})
	}
	if with == nil {
		_, state, err := a.skillsDir()
		if err != nil {
			return err
		}
		if keys, err = skill.TrustedKeys(state); err != nil {
			return err
		}
	}
	signer, err := f.Verify(keys)
	if err == nil && signer == "" {
		err = fmt.Errorf("%w: nobody signed %s", host.ErrDenied, path)
	}
	if err != nil {
		return err
	}
	i := slices.IndexFunc(keys, func(k skill.TrustedKey) bool { return k.Key == signer })
	fmt.Fprintf(a.stdout, "%s %s is signed by %s %s\n", f.Manifest.Name, f.Manifest.Version, signer, keys[i].Name)
	return nil
}

func (a *app) skillTrustCmd() *cobra.Command {
	var name, remove string
	c := &cobra.Command{
		Use: "trust [PUBLIC-KEY]", Short: "Trust a signer of skills; without a key: list them",
		Args: usageArgs(cobra.MaximumNArgs(1)),
		Long: `Trust the signer with this minisign public key (the key itself or its file). A signed skill
is used only when its signer is trusted; what it may do is still up to roles and grants.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.skillTrust(cmd.Context(), args, name, remove)
			return coded(err)
		},
	}
	c.Flags().StringVar(&name, "name", "", "what to call the signer")
	c.Flags().StringVar(&remove, "remove", "", "a key or name to trust no longer")
	return c
}

func (a *app) skillTrust(ctx context.Context, args []string, name, remove string) error {
	_, state, err := a.skillsDir()
	if err != nil {
		return err
	}
	keys, err := skill.TrustedKeys(state)
	if err != nil {
		return err
	}
	before := len(keys)
	if remove != "" {
		keys = slices.DeleteFunc(keys, func(k skill.TrustedKey) bool { return k.Key == remove || k.Name == remove })
		if len(keys) == before {
			return fmt.Errorf("%w: no trusted key is %q", host.ErrNotFound, remove)
		}
	}
	for _, arg := range args {
		key, err := kit.PublicKey(arg)
		if err != nil {
			return err
		}
		keys = slices.DeleteFunc(keys, func(k skill.TrustedKey) bool { return k.Key == key })
		keys = append(keys, skill.TrustedKey{Key: key, Name: name})
	}
	if remove != "" || len(args) > 0 {
		if err := os.MkdirAll(state, 0o700); err != nil {
			return err
		}
		if err := skill.SetTrustedKeys(state, keys); err != nil {
			return err
		}
		a.pokeHost(ctx, state)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, k := range keys {
		fmt.Fprintf(w, "%s\t%s\n", k.Key, k.Name)
	}
	if len(keys) == 0 {
		fmt.Fprintln(w, "no key is trusted")
	}
	return w.Flush()
}
