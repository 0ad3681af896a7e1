function __datanommer
    set -l command (string replace -r '^~' "$HOME" -- (commandline -cpo)[1])
    set -l name (string replace -r '.*/' '' -- $command)
    set -l variable (string upper -- _(string replace -a - _ -- $name)_COMPLETE)
    set -l option (string match -r -- '^--[^=]*=' (commandline -ct))
    set -l line (commandline -cp | string collect)
    for answer in (env $variable=fish_complete COMP_WORDS=$line $command 2>/dev/null)
        set -l part (string split --max 1 , -- $answer)
        switch $part[1]
            case plain
                printf '%s\n' "$option$part[2]"
            case file
                __fish_complete_path $part[2] | string replace -r '^' -- "$option"
            case dir
                __fish_complete_directories $part[2] | string replace -r '^' -- "$option"
        end
    end
end

for command in datanommer datanommer-grep datanommer-show datanommer-latest datanommer-stats datanommer-report datanommer-dump datanommer-export datanommer-runs datanommer-load datanommer-rejected datanommer-create-db datanommer-embedded datanommer-status datanommer-spool datanommer-completion datanommer-reindex datanommer-prune datanommer-validate datanommer-verify
    complete --command $command --no-files --keep-order --arguments '(__datanommer)'
end
