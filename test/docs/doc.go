// Package docs holds the project's texts to the truth: every link leads
// somewhere, every notice has its entry in the runbook, every sample is a
// configuration that can be used, and every command is run against a real daemon.
package docs
