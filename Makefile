# The commands of this repository. `make` alone lists them.
.DEFAULT_GOAL := list
.PHONY: list test conformance loss speed bench lint doc image demo chart compose-config

list: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## starts everything, dials two scripted phones over gRPC and draws the ladder
	cargo run --release -- demo

test: ## installs what the tests need when it is missing, and runs every test
	scripts/install-test-deps
	scripts/run-tests

conformance: ## every requirement with its tests, and the requirements without
	@cargo run -q -p compliance

doc: ## the documentation of every crate, under target/doc
	cargo doc --workspace --no-deps --document-private-items

lint: ## formatting, clippy, docs, shell scripts: what CI refuses
	scripts/lint

loss: ## how requests and calls end when 1, 5 and 20 % of all datagrams are lost (LOSS_SEEDS=100)
	LOSS_SEEDS=$${LOSS_SEEDS:-100} cargo test -q -p sim --test it loss -- --nocapture

speed: ## instructions of the work on the text of an INVITE, a call and a REGISTER, and time of the first
	@scripts/speed-gate

bench: ## Kamailio and Carillon on one core, one after the other, side by side
	bench/run

image: ## the container image (IMAGE=name:tag)
	scripts/build-image $(IMAGE)

chart: ## lints and renders the Helm chart with every value set
	scripts/check-chart

compose-config: ## validates the Compose files with every profile
	scripts/check-compose
