"""The first schema.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

HEX = sa.String().with_variant(sa.String(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
RUNNING = sa.text("status = 'running'")


def upgrade() -> None:
    """Make all tables."""
    _shared()
    _named()
    _trials()
    _of_trials()
    _many_of_trials()
    _cache()


def _shared() -> None:
    op.create_table(
        "about",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_about")),
    )
    op.create_table(
        "projects",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )
    op.create_table(
        "parameter_sets",
        sa.Column("digest", HEX, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_parameter_sets")),
    )
    op.create_table(
        "parameter_values",
        sa.Column("digest", HEX, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_parameter_values")),
    )
    op.create_table(
        "environments",
        sa.Column("digest", HEX, nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_environments")),
    )
    op.create_table(
        "file_sets",
        sa.Column("digest", HEX, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_file_sets")),
    )
    op.create_table(
        "module_sets",
        sa.Column("digest", HEX, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_module_sets")),
    )


def _named() -> None:
    op.create_table(
        "files",
        sa.Column("file_set", HEX, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("digest", HEX, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("file_set", "position", name=op.f("pk_files")),
        sa.ForeignKeyConstraint(["file_set"], ["file_sets.digest"], name=op.f("fk_files_file_set")),
    )
    op.create_index("ix_files_digest", "files", ["digest"])
    op.create_index("ix_files_path", "files", ["path"])
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project", NUMBER, nullable=False),
        sa.Column("command", sa.Text(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("started", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweeps")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_sweeps_project")),
    )
    op.create_index("ix_sweeps_project_started", "sweeps", ["project", "started"])
    op.create_table(
        "variants",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("project", NUMBER, nullable=False),
        sa.Column("experiment", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("option", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", HEX, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("filed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_variants")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_variants_project")),
        sa.UniqueConstraint(
            "project",
            "experiment",
            "group",
            "option",
            "version",
            name=op.f("uq_variants_project_experiment_group_option_version"),
        ),
        sa.UniqueConstraint(
            "project",
            "experiment",
            "group",
            "option",
            "digest",
            name=op.f("uq_variants_project_experiment_group_option_digest"),
        ),
    )


def _trials() -> None:
    op.create_table(
        "trials",
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("id", HEX, nullable=False),
        sa.Column("project", NUMBER, nullable=False),
        sa.Column("experiment", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("param_set", HEX, nullable=False),
        sa.Column("param_values", HEX, nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("main", sa.Double(), nullable=True),
        sa.Column("main_text", sa.Text(), nullable=True),
        sa.Column("commit", HEX, nullable=False),
        sa.Column("branch", sa.Text(), nullable=True),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("cpu_seconds", sa.Double(), nullable=True),
        sa.Column("sweep", sa.Text(), nullable=True),
        sa.Column("job", sa.Integer(), nullable=True),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("taints", sa.Integer(), nullable=False),
        sa.Column("heartbeat", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_trials")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_trials_project")),
        sa.ForeignKeyConstraint(["param_set"], ["parameter_sets.digest"], name=op.f("fk_trials_param_set")),
        sa.ForeignKeyConstraint(
            ["param_values"], ["parameter_values.digest"], name=op.f("fk_trials_param_values")
        ),
        sa.ForeignKeyConstraint(["sweep"], ["sweeps.id"], name=op.f("fk_trials_sweep")),
        sa.UniqueConstraint("id", name=op.f("uq_trials_id")),
    )
    op.create_index("ix_trials_project_commit_started", "trials", ["project", "commit", "started"])
    op.create_index("ix_trials_project_experiment_started", "trials", ["project", "experiment", "started"])
    op.create_index("ix_trials_project_seed_started", "trials", ["project", "seed", "started"])
    op.create_index("ix_trials_project_started", "trials", ["project", "started"])
    op.create_index("ix_trials_project_status_started", "trials", ["project", "status", "started"])
    op.create_index("ix_trials_project_variant_started", "trials", ["project", "variant", "started"])
    op.create_index("ix_trials_recipe", "trials", ["param_set", "seed"])
    op.create_index(
        "ix_trials_running", "trials", ["started"], sqlite_where=RUNNING, postgresql_where=RUNNING
    )
    op.create_index("ix_trials_started", "trials", ["started"])
    op.create_index("ix_trials_sweep_job", "trials", ["sweep", "job"])


def _of_trials() -> None:
    op.create_table(
        "details",
        sa.Column("trial", NUMBER, nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("environment", HEX, nullable=False),
        sa.Column("declared", HEX, nullable=True),
        sa.Column("observed", HEX, nullable=True),
        sa.Column("written", HEX, nullable=True),
        sa.Column("modules", HEX, nullable=True),
        sa.PrimaryKeyConstraint("trial", name=op.f("pk_details")),
        sa.ForeignKeyConstraint(["trial"], ["trials.seq"], name=op.f("fk_details_trial")),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.digest"], name=op.f("fk_details_environment")
        ),
        sa.ForeignKeyConstraint(["declared"], ["file_sets.digest"], name=op.f("fk_details_declared")),
        sa.ForeignKeyConstraint(["observed"], ["file_sets.digest"], name=op.f("fk_details_observed")),
        sa.ForeignKeyConstraint(["written"], ["file_sets.digest"], name=op.f("fk_details_written")),
        sa.ForeignKeyConstraint(["modules"], ["module_sets.digest"], name=op.f("fk_details_modules")),
    )
    op.create_index("ix_details_written", "details", ["written"])
    op.create_table(
        "claims",
        sa.Column("sweep", sa.Text(), nullable=False),
        sa.Column("job", sa.Integer(), nullable=False),
        sa.Column("trial", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("sweep", "job", name=op.f("pk_claims")),
        sa.ForeignKeyConstraint(["sweep"], ["sweeps.id"], name=op.f("fk_claims_sweep")),
        sa.ForeignKeyConstraint(["trial"], ["trials.seq"], name=op.f("fk_claims_trial")),
        sqlite_with_rowid=False,
    )


def _many_of_trials() -> None:
    op.create_table(
        "trial_variants",
        sa.Column("trial", NUMBER, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("variant", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("trial", "position", name=op.f("pk_trial_variants")),
        sa.ForeignKeyConstraint(["trial"], ["trials.seq"], name=op.f("fk_trial_variants_trial")),
        sa.ForeignKeyConstraint(["variant"], ["variants.id"], name=op.f("fk_trial_variants_variant")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_trial_variants_variant", "trial_variants", ["variant", "trial"])
    op.create_table(
        "metrics",
        sa.Column("trial", NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("trial", "name", name=op.f("pk_metrics")),
        sa.ForeignKeyConstraint(["trial"], ["trials.seq"], name=op.f("fk_metrics_trial")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tags",
        sa.Column("trial", NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("trial", "name", name=op.f("pk_tags")),
        sa.ForeignKeyConstraint(["trial"], ["trials.seq"], name=op.f("fk_tags_trial")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tags_name", "tags", ["name", "trial"])


def _cache() -> None:
    op.create_table(
        "digest_cache",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("device", sa.BigInteger(), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("ctime_ns", sa.BigInteger(), nullable=False),
        sa.Column("digest", HEX, nullable=False),
        sa.PrimaryKeyConstraint("host", "device", "inode", name=op.f("pk_digest_cache")),
        sqlite_with_rowid=False,
    )
