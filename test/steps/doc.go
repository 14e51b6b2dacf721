// Package steps runs the shipped steps of deployments/steps against real pairs of
// MariaDB and of MySQL, with the account and the rights that
// deployments/docs/steps.md says: alone, by the same code that the daemon runs them
// with, and together with the real daemon and a client that writes. What that page
// tells people to do with queues and mail is run on real brokers and relays.
package steps
